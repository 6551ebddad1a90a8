"""What LMDB storage and LMDB sequence share: the directory, its databases and who may write."""
