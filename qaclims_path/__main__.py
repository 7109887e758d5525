"""`python -m qaclims_path` is the `qaclims` command."""

from qaclims_path.cli.app import main

if __name__ == "__main__":
    main()
