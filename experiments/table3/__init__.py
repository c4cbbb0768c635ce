"""The paper's table 3: published figures, quoted, beside ours."""
