"""The database of the agent: rows of sealed values and of authority, a cache, group commit.

How it is built (each file has its own docstring):

- `table`, `tables`: a table is a struct of `vault.model.records` with its keys and indexes.
- `interface`: what a database must do (`StoreBackend`, `StoreSession`). `sql` does it for any SQL
  database, `sqlite` for a SQLite file, `memory` for tests.
- `store`: `open_store` wires everything; `Store` is what the barrier and `vault.authn` call.

A read, `Store.get`:

1. `row_cache` answers if it has the row (`bounded_cache`: the bound and the policy).
2. Otherwise `loader` reads the rows that are asked for at the same time in one view (`SqlSession`
   in `sql`, with `prepared_statements`, whose text `statements` builds from `schema`).
3. `row_guard` verifies the MAC of each authority row, `row_index` that it is the last one that was
   committed, and the cache takes it over unless a commit has overtaken it.

A query, `Store.select`: `query_runner` asks for keys and MACs, takes the rows that the cache has
and reads the others; `query` says what a query means and whether an answer can be right.

A write, `Store.commit(change)`:

1. `WriterActor` in `committer` collects changes that arrive together; `Committer.commit`
   makes them one transaction, one at a time.
2. `transaction` runs each change on a `StoreTx`: reads see the writes before them. The result of
   all is one `WriteSet`, with the commit stamp of `vault.seal.anchor`.
3. `StoreBackend.write` stores it and returns when it is durable: `SqlSession.flush`, then COMMIT.
4. The row index, the cache and the table versions follow; only then the callers get their results.
   After a failed commit the rows are forgotten, and the connection is replaced.

Beside it: `migration`, `migrations` and `sqlite_schema` (what the file consists of), `columns` (SQL
types), `cache_warmup`, `integrity_monitor` (writes of others, damage), `timed_lock`.
"""
