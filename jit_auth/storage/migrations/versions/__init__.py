"""One module per revision. A revision is never edited once it was released."""
