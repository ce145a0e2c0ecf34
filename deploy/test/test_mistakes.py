"""Each planted mistake is found, by whom it has to be, and nothing is found where there is none."""

import functools
import pathlib
import shutil
import tempfile
import unittest

import cases
import chart
from mistakes import PLANTED


@functools.lru_cache(maxsize=None)
def without(judge, case):
    return tuple(judge(chart.render(cases.CASES[case])))


class Mistakes(unittest.TestCase):
    def test_there_are_at_least_twenty_and_no_name_stands_twice(self):
        self.assertGreaterEqual(len({mistake.name for mistake in PLANTED}), 20)
        self.assertEqual(len({mistake.name for mistake in PLANTED}), len(PLANTED))


def plant(mistake):
    def test(self):
        self.assertEqual(without(mistake.judge, mistake.case), (), "there is no mistake yet")
        with tempfile.TemporaryDirectory() as folder:
            spoilt = pathlib.Path(folder) / "fedgate"
            shutil.copytree(chart.CHART, spoilt)
            file = spoilt / mistake.file
            text = file.read_text()
            self.assertIn(mistake.old, text, "the mistake can be planted")
            file.write_text(text.replace(mistake.old, mistake.new))
            found = list(mistake.judge(chart.render(cases.CASES[mistake.case], spoilt)))
        self.assertTrue(any(mistake.words in line for line in found), found)

    test.__doc__ = None
    return test


for planted in PLANTED:
    words = "_".join(planted.name.replace("'", "").replace(",", "").replace("-", "_").replace(":", "_").split())
    setattr(Mistakes, f"test_it_is_found_that_{words}", plant(planted))
