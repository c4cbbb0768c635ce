"""An exported model on labelled faces: is its uncertainty true, and what makes it fail?"""
