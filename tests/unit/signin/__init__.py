"""Who is deciding: passkeys, statements and receipts."""
