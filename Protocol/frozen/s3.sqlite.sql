ALTER TABLE latchkey_resources ADD COLUMN s3_token INTEGER;
ALTER TABLE latchkey_resources ADD COLUMN s3_identity BLOB;
UPDATE latchkey_meta SET value = 3
WHERE name = 'newest_shape' AND value < 3;
