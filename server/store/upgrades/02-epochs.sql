-- v1 -> v2: epochs, scenes ready to send, homes
ALTER TABLE snapshots ADD COLUMN scene BLOB; -- sealed like document; what a joiner is shown first, compressed
ALTER TABLE boards ADD COLUMN home TEXT NOT NULL DEFAULT ''; -- '': ours; otherwise the companion that has taken the board over
ALTER TABLE boards ADD COLUMN term INTEGER NOT NULL DEFAULT 1; -- how often the board has had another home, from 1
ALTER TABLE boards ADD COLUMN claim TEXT NOT NULL DEFAULT ''; -- JSON: from whom the board was taken over, what of others was carried over, what is still owed
ALTER TABLE boards ADD COLUMN tag BLOB NOT NULL DEFAULT x''; -- seal of id, room, kind, log and key_id
ALTER TABLE actors ADD COLUMN tag BLOB NOT NULL DEFAULT x''; -- seal of the row, as below
ALTER TABLE sessions ADD COLUMN tag BLOB NOT NULL DEFAULT x'';
CREATE INDEX entries_doc ON entries (board, doc, epoch, seq);
