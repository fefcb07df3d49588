-- v2 -> v3: what moderators decided about calls
CREATE TABLE call_decisions (
	room    TEXT NOT NULL,
	person  TEXT NOT NULL,
	removed INTEGER NOT NULL, -- 1: gets no token
	sources TEXT NOT NULL, -- JSON list of what the person may publish
	until   INTEGER NOT NULL, -- Unix ms
	PRIMARY KEY (room, person)
);
CREATE TABLE call_ends (
	room TEXT NOT NULL PRIMARY KEY,
	at   INTEGER NOT NULL -- Unix ms
);
