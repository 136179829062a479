from tests.support.team import team as team
