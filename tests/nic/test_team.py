"""Teams of adapters: sum or minimum of queues, sets of processors."""

import pytest

from nic.team import Team
from pcaps.errors import BadInput


@pytest.mark.parametrize(
    ("teaming", "balancing", "sums"),
    [
        ("switch-independent", "hyperv-port", True),
        ("switch-independent", "dynamic", True),
        ("switch-independent", "address-hash", False),
        ("static", "hyperv-port", False),
        ("lacp", "dynamic", False),
    ],
)
def test_queues_add_up_only_where_a_vm_has_one_member(teaming, balancing, sums):
    team = Team(2, teaming, balancing)
    assert team.sums is sums
    assert team.usable_queues(16) == (32 if sums else 16)


def test_a_sum_team_has_sets_of_processors_that_do_not_overlap():
    team = Team(3)
    sets = [list(team.processors_of(member, range(8))) for member in range(3)]
    assert sets == [[0, 1], [2, 3], [4, 5]]
    assert [team.member_of(queue, 4) for queue in (1, 4, 5, 12)] == [0, 0, 1, 2]


def test_a_min_team_uses_one_set_and_every_member_has_each_queue():
    team = Team(2, "static")
    assert list(team.processors_of(1, range(4))) == [0, 1, 2, 3]
    assert team.member_of(3, 4) is None


@pytest.mark.parametrize("made", [lambda: Team(1), lambda: Team(33), lambda: Team(2, "magic"),
                                  lambda: Team(2, "lacp", "luck")])  # fmt: skip
def test_teams_that_do_not_exist_are_refused(made):
    with pytest.raises(BadInput):
        made()


def test_a_sum_team_needs_a_processor_for_each_member():
    with pytest.raises(BadInput, match="needs as many processors"):
        Team(4).processors_of(0, range(3))
