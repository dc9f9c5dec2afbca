"""The bank for SPEI: payers transfer to a CLABE, caudal gives back and pays out."""
