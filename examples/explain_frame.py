"""Why did a frame go where it went? Ask the plain twin, step by step.

The same from the command line:
``vswitch explain -s examples/scenarios/two-vms.toml --fields 'in=web dst=db len=2000'``.
"""

from pathlib import Path

from vswitch.explain import Explainer
from vswitch.fields import frame_from_fields
from vswitch.scenario import load

network = load(Path(__file__).parent / "scenarios" / "two-vms.toml").network()
explainer = Explainer(network)

for fields in ("in=web dst=db len=100", "in=web dst=db len=2000", "in=web src=db dst=broadcast"):
    port, frame = frame_from_fields(fields, network)
    explanation = explainer.explain(frame, port)
    assert explanation.agrees  # the compiled path has decided the same
    print(f"{fields}: {explanation.outcome.verdict.label}")
    for number, step in enumerate(explanation.steps, 1):
        print(f"  {number} {step.stage}: {step.text}")
