"""Where entries live: one module a storage, all behind ``storage.base.Storage``."""
