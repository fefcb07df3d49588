-- v0 -> v1: boards, their logs and snapshots, sessions
CREATE TABLE instance (
	one       INTEGER PRIMARY KEY CHECK (one = 1),
	key_check BLOB NOT NULL
);
-- log is '' while a board is only bound to its room; key_id 0: not encrypted at rest.
CREATE TABLE boards (
	id      TEXT PRIMARY KEY,
	room    TEXT NOT NULL,
	kind    TEXT NOT NULL,
	log     TEXT NOT NULL DEFAULT '',
	key_id  INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE board_keys (
	board   TEXT NOT NULL REFERENCES boards(id),
	key_id  INTEGER NOT NULL,
	wrapped BLOB NOT NULL,
	PRIMARY KEY (board, key_id)
);
CREATE TABLE docs (
	board TEXT NOT NULL REFERENCES boards(id),
	doc   TEXT NOT NULL,
	epoch INTEGER NOT NULL,
	place INTEGER NOT NULL,
	PRIMARY KEY (board, doc)
);
CREATE TABLE entries (
	board  TEXT NOT NULL,
	seq    INTEGER NOT NULL,
	doc    TEXT NOT NULL,
	epoch  INTEGER NOT NULL,
	kind   INTEGER NOT NULL,
	hash   BLOB NOT NULL,
	actor  BLOB NOT NULL,
	person TEXT NOT NULL,
	ts     INTEGER NOT NULL,
	key_id INTEGER NOT NULL,
	bytes  BLOB NOT NULL,
	PRIMARY KEY (board, seq),
	UNIQUE (board, doc, epoch, hash)
);
CREATE TABLE snapshots (
	board    TEXT NOT NULL REFERENCES boards(id),
	doc      TEXT NOT NULL,
	epoch    INTEGER NOT NULL,
	seq      INTEGER NOT NULL,
	heads    BLOB NOT NULL,
	key_id   INTEGER NOT NULL,
	document BLOB NOT NULL,
	PRIMARY KEY (board, doc)
);
CREATE TABLE actors (
	board  TEXT NOT NULL REFERENCES boards(id),
	actor  BLOB NOT NULL,
	person TEXT NOT NULL,
	PRIMARY KEY (board, actor)
);
CREATE TABLE checkpoints (
	board    TEXT PRIMARY KEY REFERENCES boards(id),
	seq      INTEGER NOT NULL,
	ts       INTEGER NOT NULL,
	event_id TEXT NOT NULL,
	key_id   INTEGER NOT NULL,
	rest     BLOB NOT NULL
);
CREATE TABLE sessions (
	token_hash BLOB PRIMARY KEY,
	person     TEXT NOT NULL,
	room       TEXT NOT NULL,
	widget     TEXT NOT NULL,
	board      TEXT NOT NULL,
	kind       TEXT NOT NULL,
	issued     INTEGER NOT NULL,
	expires    INTEGER NOT NULL
);
CREATE INDEX sessions_person ON sessions (person);
CREATE INDEX sessions_room ON sessions (room);
CREATE INDEX sessions_expires ON sessions (expires);
CREATE TABLE openid_used (
	hash  BLOB PRIMARY KEY,
	until INTEGER NOT NULL
);
