-- A shop that `souk copy` has not brought here whole: while this table has its row, nothing serves from this database.

CREATE TABLE unfinished_copy (
    id bigint NOT NULL PRIMARY KEY CHECK (id = 1),
    source text NOT NULL,
    begun_at timestamptz NOT NULL
);
COMMENT ON TABLE unfinished_copy IS 'A shop that souk copy has not brought here whole: while it has its row, nothing serves from here';
COMMENT ON COLUMN unfinished_copy.id IS 'one row at most';
COMMENT ON COLUMN unfinished_copy.source IS 'the sums over the shop that is copied: only that one may be continued';
COMMENT ON COLUMN unfinished_copy.begun_at IS 'when the copy began';
