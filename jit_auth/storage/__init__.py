"""Storage: the store, its tables, the journal that alone writes, and the reads. Start at `store.Store`."""
