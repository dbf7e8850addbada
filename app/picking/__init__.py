"""Near duplicates among photographs, and which of them to keep; nothing is decoded or scored here."""
