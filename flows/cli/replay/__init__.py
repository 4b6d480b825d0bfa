"""`dedup replay`: gives late, invalid or duplicate records another chance."""
