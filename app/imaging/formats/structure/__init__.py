"""How files of several formats are built: markers, boxes, chunks and directories, without their pixels."""
