"""The machine: temporary folders, helper processes, memory, files, secrets kept out."""
