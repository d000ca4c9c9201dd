"""The models of a CurationJob: asked within limits and a budget, each answer kept."""
