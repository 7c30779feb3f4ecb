"""Faulted moves: the table of fates cell by cell, invariants that can fail, campaigns that can be told again."""

from __future__ import annotations

import itertools

import pytest

from migration.cluster import strikes
from migration.cluster.campaign import draw, interesting, run_campaign
from migration.cluster.case import Case, Ending, S, Told, phases_of
from migration.cluster.faulted import FaultedMove, tell
from migration.cluster.faults import FATES, PHASES, Fate, Fault, Kind, Phase, read_fault
from migration.cluster.invariants import INVARIANTS
from migration.cluster.stage import Copy, Disk, Node
from pcaps.errors import BadInput

STRENGTH = {Kind.LINK_SLOWDOWN: 0.2, Kind.DIRTIES: 30.0, Kind.ANNOUNCE_LOST: 2.0}


def hit(kind: Kind, phase: Phase, share: float = 0.5, back_ns: int = 0, **changes: object) -> Told:
    fault = Fault(kind, phase, share, back_ns, STRENGTH.get(kind, 0.0))
    return tell(Case(number=1, faults=(fault,), **changes))


def test_without_faults_it_completes_with_its_planned_blackout():
    told = tell(Case(number=1, faults=()))
    assert told.ending is Ending.COMPLETED
    assert told.broken == ()
    assert told.pause_ns == told.plan.blackout_ns
    assert told.plan.memory_equal


ENDINGS = {
    Fate.ROLL_BACK: {Ending.ROLLED_BACK},
    Fate.GO_ON: {Ending.COMPLETED},
    Fate.NOTHING: {Ending.COMPLETED},
    Fate.SLOWER: {Ending.COMPLETED},
    Fate.LATER: {Ending.COMPLETED},
    Fate.RESTART: {Ending.RESTARTED},
    Fate.REFUSED: {Ending.REFUSED},
    Fate.WAIT: {Ending.WAITING},
}


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("kind", Kind)
def test_every_cell_of_the_table(kind, phase):
    fate = FATES[kind][phase]
    plain = tell(Case(number=1, faults=(), nodes=5, quorum="node-majority"))
    told = hit(kind, phase, nodes=5, quorum="node-majority", source_side=3)
    assert told.broken == ()
    if fate is Fate.READ:  # before and after the reservation went over
        early = hit(kind, phase, share=0.1, nodes=5, quorum="node-majority")
        late = hit(kind, phase, share=0.9, nodes=5, quorum="node-majority")
        crash = kind in (Kind.SOURCE_CRASH, Kind.TARGET_CRASH, Kind.TARGET_PATHS)
        restarted_early = kind is Kind.SOURCE_CRASH
        restarted_late = kind in (Kind.TARGET_CRASH, Kind.TARGET_PATHS)
        assert early.ending is (Ending.RESTARTED if restarted_early else Ending.ROLLED_BACK)
        assert late.ending is (Ending.RESTARTED if restarted_late else Ending.COMPLETED)
        assert early.broken == late.broken == ()
        assert crash or early.restart_ns == 0
    elif fate is Fate.VOTE:
        # by the time that heartbeats are missed the move is over; the target's side has no majority
        assert told.ending is Ending.RESTARTED
        won = hit(kind, phase, nodes=5, quorum="node-majority", source_side=1)
        assert won.ending in (Ending.COMPLETED, Ending.RESTARTED)
    else:
        assert told.ending in ENDINGS[fate]
    if fate is Fate.SLOWER:
        assert told.total_ns > plain.total_ns
    if fate is Fate.LATER:
        assert told.pause_ns > plain.pause_ns
    if told.ending is Ending.ROLLED_BACK:
        assert told.holder == 0
        assert told.restart_ns == 0
    if told.ending is Ending.COMPLETED:
        assert told.holder == 1


def test_other_paths_and_a_csv_soften_the_loss_of_paths():
    assert hit(Kind.TARGET_PATHS, Phase.STATE, spare_paths=(False, True)).ending is Ending.COMPLETED
    assert hit(Kind.TARGET_PATHS, Phase.STATE, csv=True).ending is Ending.COMPLETED
    assert hit(Kind.TARGET_PATHS, Phase.STATE, csv=True, nodes=2).ending is Ending.ROLLED_BACK


def test_paths_that_come_back_in_time_let_the_vm_go_on_where_it_is():
    told = hit(Kind.TARGET_PATHS, Phase.ANNOUNCE, back_ns=5 * S)
    assert told.ending is Ending.COMPLETED
    assert told.pause_ns == told.plan.blackout_ns + 5 * S
    late = hit(Kind.TARGET_PATHS, Phase.ANNOUNCE, back_ns=25 * S)
    assert late.ending is Ending.RESTARTED
    assert late.broken == told.broken == ()


def test_a_link_that_comes_back_in_time_is_waited_for():
    told = hit(Kind.LINK_LOSS, Phase.PRECOPY, back_ns=S)
    assert told.ending is Ending.COMPLETED
    assert told.slower
    assert told.total_ns > tell(Case(number=1, faults=())).total_ns + S // 2
    assert hit(Kind.LINK_LOSS, Phase.PRECOPY, back_ns=20 * S).ending is Ending.ROLLED_BACK


def test_a_volume_that_comes_back_lets_the_vm_go_on():
    told = hit(Kind.VOLUME_LOSS, Phase.START, back_ns=2 * S)
    assert told.ending is Ending.COMPLETED
    assert told.holder == 1
    assert told.pause_ns >= 2 * S
    assert hit(Kind.VOLUME_LOSS, Phase.STATE, back_ns=2 * S).ending is Ending.ROLLED_BACK


def test_rolled_back_in_time_the_vm_never_stopped():
    assert hit(Kind.CANCEL, Phase.PRECOPY).pause_ns == 0
    paused = hit(Kind.CANCEL, Phase.STATE)
    assert 0 < paused.pause_ns < paused.plan.blackout_ns


def test_a_restart_takes_heartbeats_arbitration_and_boot():
    told = hit(Kind.SOURCE_CRASH, Phase.PRECOPY, boot_ns=30 * S)
    assert told.restart_ns == (5 + 3 + 30) * S


def test_nobody_may_start_it_without_quorum():
    told = hit(Kind.BOTH_CRASH, Phase.PRECOPY, nodes=3)
    assert told.ending is Ending.LOST
    assert "quorum" in told.reason
    assert hit(Kind.BOTH_CRASH, Phase.PRECOPY, nodes=7).ending is Ending.RESTARTED


def test_writes_of_a_host_that_hangs_behind_a_split_are_refused():
    told = hit(
        Kind.SPLIT_BRAIN, Phase.PRECOPY, nodes=5, source_side=1, late_ns=60 * S,
        dirty_bytes_per_s=1e6, link_bytes_per_s=1e5,
    )  # fmt: skip
    assert told.ending is Ending.RESTARTED
    assert told.refused_writes >= 1
    assert told.broken == ()


# Invariants are no tautologies: each falls when its rule is broken


def broken_by(told: Told) -> set[str]:
    return {name for _, name in told.broken}


def test_handing_over_without_the_reservation_is_noticed(monkeypatch):
    monkeypatch.setattr(Disk, "hand_over", lambda disk, expected, new: True)
    assert "owner-runs" in broken_by(tell(Case(number=1, faults=())))


def test_resuming_the_source_after_the_handover_is_noticed(monkeypatch):
    def resume(move, fault, now):
        move.stage.nodes[0].copy = Copy.RUNNING

    monkeypatch.setitem(strikes.STRIKES, Kind.CANCEL, resume)
    assert {"one-copy", "owner-runs"} <= broken_by(hit(Kind.CANCEL, Phase.ANNOUNCE))


def test_a_queue_that_is_not_freed_is_noticed(monkeypatch):
    monkeypatch.setattr(Node, "disconnect", lambda node: setattr(node, "port", False))
    assert {"queues", "accounted"} <= broken_by(tell(Case(number=1, faults=())))


def test_a_filter_that_is_not_set_again_leaves_its_queue_paused(monkeypatch):
    monkeypatch.setattr(Node, "set_filters", lambda node: None)
    told = hit(Kind.CANCEL, Phase.STATE)
    assert told.ending is Ending.ROLLED_BACK
    assert "queues" in broken_by(told)


def test_memory_that_is_not_released_is_noticed(monkeypatch):
    forget = Node.forget

    def keeps(node):
        forget(node)
        node.reserved = True

    monkeypatch.setattr(Node, "forget", keeps)
    assert broken_by(tell(Case(number=1, faults=()))) == {"accounted"}


def test_starting_with_half_the_memory_is_noticed(monkeypatch):
    monkeypatch.setattr(FaultedMove, "_complete", lambda move, now: None)
    assert broken_by(tell(Case(number=1, faults=()))) >= {"memory"}


def test_a_vm_that_nobody_starts_anew_is_noticed(monkeypatch):
    monkeypatch.setattr(strikes.failover, "vm_lost", lambda move, now, detect_ns: None)
    assert "some-copy" in broken_by(hit(Kind.SOURCE_CRASH, Phase.PRECOPY))


def test_a_port_on_both_hosts_is_noticed(monkeypatch):
    disconnect = Node.disconnect

    def keeps(node):
        disconnect(node)
        node.port = node.name == "source"

    monkeypatch.setattr(Node, "disconnect", keeps)
    assert "one-port" in broken_by(tell(Case(number=1, faults=())))


def test_a_target_that_runs_before_the_handover_is_noticed(monkeypatch):
    def early(move, now):
        move.stage.nodes[1].copy = Copy.RUNNING
        move.stage.nodes[1].port = True

    monkeypatch.setattr(FaultedMove, "_complete", early)
    assert {"only-a-pause", "owner-runs"} <= broken_by(tell(Case(number=1, faults=())))


HUNG = {
    "nodes": 5, "source_side": 1, "late_ns": 60 * S, "dirty_bytes_per_s": 1e6, "link_bytes_per_s": 1e5,
}  # fmt: skip


def test_a_disk_that_takes_everybodys_writes_is_noticed(monkeypatch):
    assert broken_by(hit(Kind.SPLIT_BRAIN, Phase.PRECOPY, **HUNG)) == set()
    monkeypatch.setattr(Disk, "write", lambda disk, node: True)
    assert "one-writer" in broken_by(hit(Kind.SPLIT_BRAIN, Phase.PRECOPY, **HUNG))


def test_a_port_that_leaves_the_source_early_is_noticed(monkeypatch):
    suspend = FaultedMove._suspend

    def early(move, now):
        suspend(move, now)
        move.stage.nodes[0].disconnect()

    monkeypatch.setattr(FaultedMove, "_suspend", early)
    assert "only-a-pause" in broken_by(tell(Case(number=1, faults=())))


def test_a_queue_of_another_vm_that_changes_hands_is_noticed(monkeypatch):
    connect = Node.connect

    def steals(node):
        connect(node)
        if node.name == "target":
            node.adapter.release_queue("other0")
            node.adapter.request_queue("stranger", 0x0200 | 0x63 << 24)

    monkeypatch.setattr(Node, "connect", steals)
    assert "queues" in broken_by(tell(Case(number=1, faults=())))


def test_memory_that_was_never_reserved_is_noticed(monkeypatch):
    reserve = FaultedMove._reserve

    def forgets(move, now):
        reserve(move, now)
        move.stage.nodes[1].reserved = False

    monkeypatch.setattr(FaultedMove, "_reserve", forgets)
    assert "memory" in broken_by(tell(Case(number=1, faults=())))


def test_a_move_that_says_it_was_rolled_back_and_is_at_the_target_is_noticed(monkeypatch):
    clean_up = FaultedMove._clean_up

    def lies(move, now):
        clean_up(move, now)
        move.ending = Ending.ROLLED_BACK

    monkeypatch.setattr(FaultedMove, "_clean_up", lies)
    assert "accounted" in broken_by(tell(Case(number=1, faults=())))


# Several faults


def test_two_faults_of_a_kind_both_strike():
    short, for_good = (
        Fault(Kind.LINK_LOSS, Phase.PRECOPY, 0.2, S),
        Fault(Kind.LINK_LOSS, Phase.PRECOPY),
    )
    for faults in ((short, for_good), (for_good, short)):
        told = tell(Case(number=1, faults=faults))
        assert told.ending is Ending.ROLLED_BACK
        assert len(told.struck) == 2


def test_what_slows_a_move_that_is_over_is_not_told():
    crash = Fault(Kind.SOURCE_CRASH, Phase.SETUP, 0.2)
    told = tell(Case(number=1, faults=(crash, Fault(Kind.DIRTIES, Phase.PRECOPY, 0.5, 0, 30.0))))
    assert [kind for kind, _ in told.struck] == [Kind.SOURCE_CRASH]


def test_faults_do_not_shift_each_other():
    loss = Fault(Kind.LINK_LOSS, Phase.LAST_COPY, 0.5, S)
    slow = Fault(Kind.LINK_SLOWDOWN, Phase.SETUP, 0.5, 0, 0.5)
    alone = tell(Case(number=1, faults=(slow,)))
    both = tell(Case(number=1, faults=(loss, slow)))
    when = [next(at for at, text in one.events if "slows down" in text) for one in (alone, both)]
    assert when[0] == when[1]


def test_dead_nodes_have_no_votes_in_a_split():
    crash, split = (Fault(kind, Phase.SETUP) for kind in (Kind.SOURCE_CRASH, Kind.SPLIT_BRAIN))
    told = tell(Case(number=1, faults=(crash, split), nodes=3, source_side=2))
    assert told.ending is Ending.LOST


def test_a_vm_whose_source_has_no_disk_does_not_run_on_after_a_cancel():
    lost, cancel = (
        Fault(kind, Phase.PRECOPY, share)
        for kind, share in ((Kind.SOURCE_PATHS, 0.2), (Kind.CANCEL, 0.8))
    )
    told = tell(Case(number=1, faults=(lost, cancel)))
    assert told.broken == ()
    assert told.ending is Ending.RESTARTED


def test_a_vm_started_anew_whose_volume_comes_back_was_started_anew():
    crash = Fault(Kind.SOURCE_CRASH, Phase.SETUP)
    gone = Fault(Kind.VOLUME_LOSS, Phase.CLEANUP, 0.9, 90 * S)
    told = tell(Case(number=1, faults=(crash, gone)))
    assert told.ending is Ending.RESTARTED
    assert told.broken == ()


# Campaigns


def test_a_campaign_holds_and_can_be_told_again():
    found = run_campaign(400, seed=5)
    assert found.broken == []
    assert sum(found.endings.values()) == found.moves == 400
    assert len(found.endings) >= 5
    again = run_campaign(400, seed=5)
    assert again.to_dict() == found.to_dict()
    assert run_campaign(400, seed=6).to_dict() != found.to_dict()
    assert {one["id"] for one in found.to_dict()["invariants"]} == set(INVARIANTS)
    one, same = tell(draw(5, 77)), tell(draw(5, 77))
    assert one.events == same.events


def test_scripted_faults_are_what_is_said():
    chosen = [read_fault("source-crash@pre-copy"), read_fault("volume-loss@stop")]
    found = run_campaign(20, 0, chosen)
    assert {kind for kind, _, _ in found.struck} == {"source-crash", "volume-loss"}
    assert found.struck.total() == 40
    assert found.broken == []


def test_interesting_moves_are_what_they_are_for():
    numbers = interesting(0, 3000)
    assert len(numbers) == 3
    kinds = [draw(0, number).faults[0].kind for number in numbers]
    assert kinds == [Kind.SOURCE_CRASH, Kind.SPLIT_BRAIN, Kind.VOLUME_LOSS]
    scripted = [read_fault("link-loss@handover")]
    told = [tell(draw(0, number, scripted)) for number in interesting(0, 100, 2, scripted)]
    assert len({one.ending for one in told}) == 2


def test_phases_follow_one_another():
    phases = phases_of(tell(Case(number=1, faults=())).plan)
    spans = [phases[one] for one in PHASES]
    assert all(end == begin for (_, end), (begin, _) in itertools.pairwise(spans))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sorce-crash@stop", "did you mean 'source-crash'?"),
        ("cancel", "has no phase; write it as cancel@pre-copy"),
        ("cancel@stopp", "did you mean 'stop'?"),
    ],
)
def test_a_fault_that_is_none(text, said):
    with pytest.raises(BadInput) as caught:
        read_fault(text)
    assert said in caught.value.what
