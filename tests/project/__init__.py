"""The project tests itself: layout, documents, packaging, one error shape, default deny."""
