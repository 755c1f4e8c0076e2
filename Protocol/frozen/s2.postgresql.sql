CREATE TABLE IF NOT EXISTS latchkey_meta (
  name TEXT COLLATE "C" PRIMARY KEY,
  value BIGINT NOT NULL,
  note TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS latchkey_resources (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  resource_key TEXT COLLATE "C" NOT NULL UNIQUE,
  needs_shape BIGINT NOT NULL,
  token BIGINT NOT NULL,
  revision BIGINT NOT NULL,
  kind BIGINT NOT NULL,
  owner TEXT,
  value TEXT NOT NULL,
  lease_seconds BIGINT NOT NULL,
  free_epoch BIGINT
);
INSERT INTO latchkey_meta (name, value, note) VALUES ('newest_shape', 1, '') ON CONFLICT DO NOTHING;
INSERT INTO latchkey_meta (name, value, note) VALUES ('oldest_shape', 1, '') ON CONFLICT DO NOTHING;
INSERT INTO latchkey_meta (name, value, note) VALUES ('token_floor', 0, '') ON CONFLICT DO NOTHING;
INSERT INTO latchkey_meta (name, value, note) VALUES ('epoch', 0, '') ON CONFLICT DO NOTHING;
ALTER TABLE latchkey_resources ADD COLUMN IF NOT EXISTS s2_token BIGINT;
ALTER TABLE latchkey_resources ADD COLUMN IF NOT EXISTS s2_revision BIGINT;
ALTER TABLE latchkey_resources ADD COLUMN IF NOT EXISTS s2_lease_milliseconds BIGINT;
ALTER TABLE latchkey_resources ADD COLUMN IF NOT EXISTS s2_content BYTEA;
ALTER TABLE latchkey_resources ADD COLUMN IF NOT EXISTS s2_labels BYTEA;
ALTER TABLE latchkey_resources ADD COLUMN IF NOT EXISTS s2_granted_at BIGINT;
CREATE TABLE IF NOT EXISTS latchkey_terms (
  resource_key TEXT COLLATE "C" NOT NULL,
  term TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (resource_key, term)
);
CREATE INDEX IF NOT EXISTS latchkey_terms_by_term ON latchkey_terms (term, resource_key);
INSERT INTO latchkey_meta (name, value, note) VALUES ('s2_backfill_row', 0, '') ON CONFLICT DO NOTHING;
INSERT INTO latchkey_meta (name, value, note) VALUES ('s2_backfill_since', 0, '') ON CONFLICT DO NOTHING;
INSERT INTO latchkey_meta (name, value, note) VALUES ('filled_shape', 1, '') ON CONFLICT DO NOTHING;
UPDATE latchkey_meta SET value = 2
WHERE name = 'newest_shape' AND value < 2;
INSERT INTO latchkey_meta (name, value, note) VALUES ('admissions', 0, '') ON CONFLICT DO NOTHING;
INSERT INTO latchkey_meta (name, value, note) VALUES ('setbacks', 1, '') ON CONFLICT DO NOTHING;
INSERT INTO latchkey_meta (name, value, note) VALUES ('opened', 1, '') ON CONFLICT DO NOTHING;
INSERT INTO latchkey_meta (name, value, note) VALUES ('setback_floor', 0, '') ON CONFLICT DO NOTHING;
INSERT INTO latchkey_meta (name, value, note) VALUES ('collected_token', 0, '') ON CONFLICT DO NOTHING;
INSERT INTO latchkey_meta (name, value, note) VALUES ('history', CASE WHEN pg_is_in_recovery() THEN 0 ELSE
  ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::bigint END, '') ON CONFLICT DO NOTHING;
CREATE TABLE IF NOT EXISTS latchkey_runs (
  run BIGINT PRIMARY KEY,
  changes BIGINT NOT NULL,
  commits BIGINT NOT NULL,
  settled BIGINT NOT NULL
);
CREATE TABLE IF NOT EXISTS latchkey_changes (
  run BIGINT NOT NULL,
  change BIGINT NOT NULL,
  ids BIGINT[] NOT NULL,
  PRIMARY KEY (run, change)
);
UPDATE latchkey_meta SET value = 2
WHERE name IN ('oldest_shape', 'filled_shape')
AND value < 2;
