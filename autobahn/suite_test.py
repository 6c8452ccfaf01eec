"""What `suite.py` lets pass, and what not: python3 autobahn/suite_test.py"""

import contextlib
import io
import json
import os
import shutil
import tempfile
import unittest

import suite


class Gate(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.cases = {
            id: {"behavior": "OK", "behaviorClose": "OK", "reportfile": "unsync_websocket_case_x.json"}
            for id in suite.all_cases()
        }
        for id in suite.INFORMATIONAL:
            self.cases[id].update(behavior="INFORMATIONAL", behaviorClose="INFORMATIONAL")

    def tearDown(self):
        shutil.rmtree(self.folder)

    def passes(self):
        """Whether the report would pass, and what is said."""
        with open(os.path.join(self.folder, "index.json"), "w") as file:
            json.dump({suite.AGENT: self.cases}, file)
        ids = os.path.join(self.folder, "cases")
        with open(ids, "w") as file:
            file.write("\n".join(suite.all_cases()))
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            good = suite.table(ids, "server=" + self.folder)
        return good, output.getvalue()

    def test_all_517_as_they_should_be_pass(self):
        good, said = self.passes()
        self.assertTrue(good, said)
        self.assertIn("| all | 517 | 514 OK, 3 INFORMATIONAL |", said)
        self.assertIn("517 passed, 0 failed", said)

    def test_a_case_that_did_not_run_fails(self):
        del self.cases["13.7.18"]
        good, said = self.passes()
        self.assertFalse(good)
        self.assertIn("case 13.7.18: it did not run", said)

    def test_nothing_at_all_fails(self):
        self.cases = {}
        self.assertFalse(self.passes()[0])

    def test_every_other_behavior_fails(self):
        for behavior in ["NON-STRICT", "INFORMATIONAL", "UNIMPLEMENTED", "FAILED", "WRONG CODE"]:
            self.cases["6.4.3"]["behavior"] = behavior
            good, said = self.passes()
            self.assertFalse(good, behavior)
            self.assertIn("case 6.4.3: " + behavior, said)

    def test_every_other_way_to_close_fails(self):
        for behavior in ["FAILED", "UNCLEAN", "WRONG CODE", "FAILED BY CLIENT"]:
            self.cases["7.3.6"]["behaviorClose"] = behavior
            good, said = self.passes()
            self.assertFalse(good, behavior)
            self.assertIn("case 7.3.6: closing: " + behavior, said)

    def test_informational_is_for_three_cases_only(self):
        self.cases["7.1.6"]["behavior"] = "FAILED"
        self.assertFalse(self.passes()[0])


class Pages(unittest.TestCase):
    def test_the_rows_that_ran_are_taken_from_each_page(self):
        def page(*cells):
            rows = '<tr class="agent_case_result_row">\n<td class="%s">x</td>\n</tr>\n'
            return "head\n" + "".join(rows % cell for cell in cells) + "tail\n"

        merged = suite.merge_pages([
            page("case_ok", "case_missing", "case_missing"),
            page("case_missing", "case_failed", "case_missing"),
        ])
        self.assertEqual(merged, page("case_ok", "case_failed", "case_missing"))


if __name__ == "__main__":
    unittest.main()
