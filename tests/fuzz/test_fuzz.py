from fuzz_readers import fuzz


def test_readers_parser_and_switch_stand_a_short_fuzz():
    inputs, frames, crashes = fuzz(seconds=60, seed=7, most=150)
    assert inputs == 150
    assert frames > 100
    assert crashes == 0
