CREATE TABLE IF NOT EXISTS latchkey_meta (
  name TEXT PRIMARY KEY,
  value INTEGER NOT NULL,
  note TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS latchkey_resources (
  id INTEGER PRIMARY KEY,
  resource_key TEXT NOT NULL UNIQUE,
  needs_shape INTEGER NOT NULL,
  token INTEGER NOT NULL,
  revision INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  owner TEXT,
  value TEXT NOT NULL,
  lease_seconds INTEGER NOT NULL,
  free_epoch INTEGER
);
INSERT OR IGNORE INTO latchkey_meta (name, value, note) VALUES ('newest_shape', 1, '');
INSERT OR IGNORE INTO latchkey_meta (name, value, note) VALUES ('oldest_shape', 1, '');
INSERT OR IGNORE INTO latchkey_meta (name, value, note) VALUES ('token_floor', 0, '');
INSERT OR IGNORE INTO latchkey_meta (name, value, note) VALUES ('epoch', 0, '');
