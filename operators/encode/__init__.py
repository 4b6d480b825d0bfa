"""From verdicts to output records and headers; reassembly of a batch's parts."""
