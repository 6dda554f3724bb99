import pytest

# Checks that are not in a test module tell what differed, as those in one do.
pytest.register_assert_rewrite("tests.saga.scenarios")
