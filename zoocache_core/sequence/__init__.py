"""Who numbers invalidations: one module an authority, all behind ``sequence.base.Sequence``."""
