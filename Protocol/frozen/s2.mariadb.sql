CREATE TABLE IF NOT EXISTS latchkey_meta (
  name VARBINARY(512) PRIMARY KEY,
  value BIGINT NOT NULL,
  note MEDIUMBLOB NOT NULL
) ENGINE=InnoDB;
CREATE TABLE IF NOT EXISTS latchkey_resources (
  id BIGINT AUTO_INCREMENT PRIMARY KEY,
  resource_key VARBINARY(512) NOT NULL UNIQUE,
  needs_shape BIGINT NOT NULL,
  token BIGINT NOT NULL,
  revision BIGINT NOT NULL,
  kind BIGINT NOT NULL,
  owner MEDIUMBLOB,
  value MEDIUMBLOB NOT NULL,
  lease_seconds BIGINT NOT NULL,
  free_epoch BIGINT
) ENGINE=InnoDB;
ALTER TABLE latchkey_resources ADD COLUMN IF NOT EXISTS s2_token BIGINT;
ALTER TABLE latchkey_resources ADD COLUMN IF NOT EXISTS s2_revision BIGINT;
ALTER TABLE latchkey_resources ADD COLUMN IF NOT EXISTS s2_lease_milliseconds BIGINT;
ALTER TABLE latchkey_resources ADD COLUMN IF NOT EXISTS s2_content MEDIUMBLOB;
ALTER TABLE latchkey_resources ADD COLUMN IF NOT EXISTS s2_labels MEDIUMBLOB;
ALTER TABLE latchkey_resources ADD COLUMN IF NOT EXISTS s2_granted_at BIGINT;
CREATE TABLE IF NOT EXISTS latchkey_terms (
  resource_key VARBINARY(512) NOT NULL,
  term VARBINARY(512) NOT NULL,
  PRIMARY KEY (resource_key, term)
) ENGINE=InnoDB;
CREATE INDEX IF NOT EXISTS latchkey_terms_by_term ON latchkey_terms (term, resource_key);
CREATE TABLE IF NOT EXISTS latchkey_runs (
  run BIGINT PRIMARY KEY,
  changes BIGINT NOT NULL,
  commits BIGINT NOT NULL,
  settled BIGINT NOT NULL
) ENGINE=InnoDB;
CREATE TABLE IF NOT EXISTS latchkey_changes (
  run BIGINT NOT NULL,
  `change` BIGINT NOT NULL,
  ids MEDIUMTEXT CHARACTER SET ascii NOT NULL,
  PRIMARY KEY (run, `change`)
) ENGINE=InnoDB;
INSERT IGNORE INTO latchkey_meta (name, value, note)
SELECT n.name, 2, '' FROM (
  SELECT 'oldest_shape' AS name
  UNION ALL SELECT 'filled_shape') n
WHERE NOT EXISTS (SELECT 1 FROM latchkey_meta);
INSERT IGNORE INTO latchkey_meta (name, value, note) VALUES ('newest_shape', 1, '');
INSERT IGNORE INTO latchkey_meta (name, value, note) VALUES ('oldest_shape', 1, '');
INSERT IGNORE INTO latchkey_meta (name, value, note) VALUES ('token_floor', 0, '');
INSERT IGNORE INTO latchkey_meta (name, value, note) VALUES ('epoch', 0, '');
INSERT IGNORE INTO latchkey_meta (name, value, note) VALUES ('s2_backfill_row', 0, '');
INSERT IGNORE INTO latchkey_meta (name, value, note) VALUES ('s2_backfill_since', 0, '');
INSERT IGNORE INTO latchkey_meta (name, value, note) VALUES ('filled_shape', 1, '');
UPDATE latchkey_meta SET value = 2
WHERE name = 'newest_shape' AND value < 2;
INSERT IGNORE INTO latchkey_meta (name, value, note) VALUES ('admissions', 0, '');
INSERT IGNORE INTO latchkey_meta (name, value, note) VALUES ('setbacks', 1, '');
INSERT IGNORE INTO latchkey_meta (name, value, note) VALUES ('opened', 1, '');
INSERT IGNORE INTO latchkey_meta (name, value, note) VALUES ('setback_floor', 0, '');
INSERT IGNORE INTO latchkey_meta (name, value, note) VALUES ('collected_token', 0, '');
