"""What a set-up says when it can't go on: one sentence for what is missing, one for how to mend it."""


class SetupError(Exception):
    """The set-up can't go on. Both parts are whole sentences, shown to the person at the terminal."""

    def __init__(self, what: str, mend: str) -> None:
        super().__init__(f"{what} {mend}")
        self.what = what
        self.mend = mend
