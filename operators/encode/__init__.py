"""From verdicts to output records and headers, and parts put together again."""
