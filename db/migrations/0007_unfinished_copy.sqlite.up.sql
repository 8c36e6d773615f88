-- A shop that `souk copy` has not brought here whole: while this table has its row, nothing serves from this database.

CREATE TABLE unfinished_copy (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1), -- one row at most
    source TEXT NOT NULL,                   -- the sums over the shop that is copied: only that one may be continued
    begun_at INTEGER NOT NULL               -- when the copy began
) STRICT;
