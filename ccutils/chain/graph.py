"""Run Snakemake, which ends with what started it: `python -m ccutils.chain.graph` and Snakemake's options."""

from ccutils.chain.holding import end_with_parent

if __name__ == "__main__":
    end_with_parent()
    from snakemake.cli import main

    main()
