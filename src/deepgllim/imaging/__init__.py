"""Pictures: safe opening, boxes, crops, and drawing on them; numpy and Pillow."""
