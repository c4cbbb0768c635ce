"""The page "How to read it"."""

GUIDE = """
<h3>The three axes</h3>
<p>Drawn from the middle of each face: <b style="color:#e61e1e">red</b> points to the side of the head that is
on the image's right when it looks at you,
<b style="color:#14b428">green</b> to the chin, <b style="color:#285aff">blue</b> out of the nose. A frame is
green where the face is like those the model
knows and red where it is not.</p>
<h3>The three angles</h3>
<table class="dg-angles">
<tr><th>pitch</th><td>positive looks up, negative down</td></tr>
<tr><th>yaw</th><td>positive turns the face to the <em>image's</em> left, negative to its right</td></tr>
<tr><th>roll</th><td>positive tilts the head clockwise as you see it</td></tr>
</table>
<p>All are 0 for a head that looks straight into the camera. They are against the line of sight to the face, not
against the room.</p>
<h3>The interval</h3>
<p>Of a hundred angles with a 90 % interval, about ninety lie inside theirs. It was measured on people the model
had not seen. A wide interval is an honest answer:
the picture is small, dark, covered, or the face is turned far away.</p>
<h3>The verdict</h3>
<p>log p(x) says how usual the picture is for the model, before any pose is asked for. Below the value that only one
known face in twenty falls short of, the page says
<em>unlike anything this model knows</em>. Then the angles mean nothing, whatever their intervals say: it may be
no face at all, or the back of a head.</p>
<h3>Several poses</h3>
<p>Sometimes two poses fit a picture and the one between them does not. They are listed with their
probabilities, and their noses are drawn paler.</p>
<h3>Near profile</h3>
<p>At yaw ±90° pitch and roll turn the head about the same line and cannot be told apart. The page says so and
gives tilt (elevation of the nose), pan (its azimuth) and
tip, which do not have this fault.</p>
"""


def guide() -> str:
    """As HTML."""
    return GUIDE
