"""How true the models are: computed beside what was measured or published, row by row.

    python -m benchmarks.fidelity                      all sections; writes docs/fidelity.md
    python -m benchmarks.fidelity --facts DIR --dry-run

A section is a module with ``write(facts) -> str``, which returns Markdown.
"""
