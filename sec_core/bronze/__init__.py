"""Bronze: what the SEC said, byte for byte, and the ledger of every hour."""
