"""Topic `curves`: how busy an organization is, point by point."""

from control.live.projection import Projection


class CurvesProjection(Projection):
    """The points that the hub keeps, by their second."""

    async def load(self) -> None:
        """See `Projection`."""
        points = self.context.live.curve_points(self.org)
        self.collection.replace_rows({str(at): columns for at, columns in points})

    def on_point(self) -> bool:
        """See `Projection`."""
        return True
