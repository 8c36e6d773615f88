DROP TABLE outbox;
DROP TABLE idempotency_records;
DROP TABLE shop_settings;
