"""What `PartLocalizer` says of itself to scikit-learn, and scikit-learn's own checks of that."""

import warnings

import pytest

from explgraph.base.errors import ExplGraphError
from explgraph.estimator import PartLocalizer

pytest.importorskip("sklearn", minversion="1.6")  # has tags, and gives the checks' results

OF_TABLES = "it fits to a table of random numbers; these are photos or their files"
IN_ITS_WORDS = "it wants scikit-learn's words for what is refused; ours say what photos are"
EXPECTED_TO_FAIL = dict.fromkeys(
    [
        "check_fit_score_takes_y",
        "check_estimators_overwrite_params",
        "check_dont_overwrite_parameters",
        "check_estimators_fit_returns_self",
        "check_readonly_memmap_input",
        "check_n_features_in_after_fitting",
        "check_positive_only_tag_during_fit",
        "check_estimators_dtypes",
        "check_pipeline_consistency",
        "check_estimators_nan_inf",
        "check_estimators_pickle",
        "check_f_contiguous_array_estimator",
        "check_regressors_train",
        "check_regressor_data_not_an_array",
        "check_regressor_multioutput",
        "check_regressors_no_decision_function",
        "check_regressors_int",
        "check_dtype_object",
        "check_methods_sample_order_invariance",
        "check_methods_subset_invariance",
        "check_dict_unchanged",
        "check_fit_idempotent",
        "check_fit_check_is_fitted",
        "check_n_features_in",
        "check_fit2d_predict1d",
    ],
    OF_TABLES,
) | dict.fromkeys(
    [
        "check_complex_data",
        "check_estimators_empty_data_messages",
        "check_estimator_sparse_tag",
        "check_estimator_sparse_array",
        "check_estimator_sparse_matrix",
        "check_fit2d_1sample",
        "check_fit2d_1feature",
    ],
    IN_ITS_WORDS,
)


class OfTables(PartLocalizer):
    """Says of itself that it takes tables, so that no check is left out."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.string = True, False
        return tags


def checks(localizer):
    """Run scikit-learn's checks; return the names by how they end."""
    from sklearn.utils.estimator_checks import check_estimator

    ended = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for result in check_estimator(localizer, on_skip=None, on_fail=None):
            ended.setdefault(result["status"], set()).add(result["check_name"])
    return ended


def test_checks__of_scikit_learn_pass_by_its_tags(world):
    assert set(checks(PartLocalizer(world.graph, world.net))) == {"passed"}


def test_checks__that_show_tables_fail_for_known_reasons_alone(world):
    ended = checks(OfTables(world.graph, world.net))
    names = set().union(*ended.values())
    assert len(ended["passed"]) >= 12
    assert ended["failed"] - EXPECTED_TO_FAIL.keys() == set()
    assert EXPECTED_TO_FAIL.keys() & names - ended["failed"] == set()  # what passes leaves the list


def test_tags__say_what_fit_takes(world):
    from sklearn.utils import get_tags

    tags = get_tags(PartLocalizer(world.graph, world.net))
    assert (tags.estimator_type, tags.input_tags.string) == ("regressor", True)
    assert not tags.input_tags.two_d_array
    assert not tags.input_tags.allow_nan  # of photos; points may be NaN, for which there is no tag
    assert (tags.target_tags.required, tags.target_tags.multi_output) == (True, True)
    assert not tags.target_tags.single_output


def test_fit__without_points_is_refused_in_words_that_scikit_learn_knows(world):
    with pytest.raises(ExplGraphError, match="requires y to be passed, but the target y is None"):
        PartLocalizer(world.graph, world.net).fit(world.photos[:2], None)
