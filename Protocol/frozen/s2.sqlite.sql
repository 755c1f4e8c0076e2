ALTER TABLE latchkey_resources ADD COLUMN s2_token INTEGER;
ALTER TABLE latchkey_resources ADD COLUMN s2_revision INTEGER;
ALTER TABLE latchkey_resources ADD COLUMN s2_lease_milliseconds INTEGER;
ALTER TABLE latchkey_resources ADD COLUMN s2_content BLOB;
ALTER TABLE latchkey_resources ADD COLUMN s2_labels BLOB;
ALTER TABLE latchkey_resources ADD COLUMN s2_granted_at INTEGER;
CREATE TABLE IF NOT EXISTS latchkey_terms (
  resource_key TEXT NOT NULL,
  term TEXT NOT NULL,
  PRIMARY KEY (resource_key, term)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS latchkey_terms_by_term ON latchkey_terms (term, resource_key);
INSERT OR IGNORE INTO latchkey_meta (name, value, note) VALUES ('s2_backfill_row', 0, '');
INSERT OR IGNORE INTO latchkey_meta (name, value, note) VALUES ('s2_backfill_since', 0, '');
INSERT OR IGNORE INTO latchkey_meta (name, value, note) VALUES ('filled_shape', 1, '');
UPDATE latchkey_meta SET value = 2
WHERE name = 'newest_shape' AND value < 2;
