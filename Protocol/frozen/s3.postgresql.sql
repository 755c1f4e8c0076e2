ALTER TABLE latchkey_resources ADD COLUMN IF NOT EXISTS s3_token BIGINT;
ALTER TABLE latchkey_resources ADD COLUMN IF NOT EXISTS s3_identity BYTEA;
UPDATE latchkey_meta SET value = 3
WHERE name = 'newest_shape' AND value < 3;
