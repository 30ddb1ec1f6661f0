"""What every study needs: its command, results that a second run goes on from, clocks, pages and figures."""
