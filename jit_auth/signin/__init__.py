"""Who is deciding: what a person shows of themselves beyond holding a link."""
