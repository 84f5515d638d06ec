"""How well features separate known phenotypes: a linear classifier across plates, and k-means without labels."""

import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score, balanced_accuracy_score, normalized_mutual_info_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

COMPONENTS = 50  # principal components that k-means sees, as in the workflow


def linear_probe(c=0.01):
    """Standardisation and multinomial logistic regression (L2, classes weighted alike), the same for all features."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=c, class_weight="balanced", max_iter=300, tol=1e-3))


def predict_across(x, y, plates, classifier, seed=0, folds=5):
    """Predict each cell by a classifier fitted on other plates.

    Parameters
    ----------
    x : (n, d) float array
    y : (n,) array
        Phenotypes.
    plates : (n,) array
        All cells of a plate are in one fold.
    classifier : scikit-learn classifier
    seed : int
        Which plates share a fold.
    folds : int

    Returns
    -------
    (n,) array, the type of y
    """
    predicted = np.empty_like(y)
    for train, test in GroupKFold(folds, shuffle=True, random_state=seed).split(x, y, plates):
        predicted[test] = classifier.fit(x[train], y[train]).predict(x[test])
    return predicted


def accuracies(y, predicted):
    """Share of right predictions, and its mean over the phenotypes present in `y`."""
    return float((y == predicted).mean()), float(balanced_accuracy_score(y, predicted))


def plate_error(y, predicted, plates, draws=200, seed=0):
    """Standard errors of the two accuracies, from plates drawn with replacement.

    Cells of a plate are alike, so that the number of plates, not of cells, says how sure a figure is.

    Parameters
    ----------
    y, predicted, plates : (n,) arrays
    draws, seed : int

    Returns
    -------
    (float, float)
        Of the accuracy and of the balanced accuracy (over the phenotypes that were drawn).
    """
    rng = np.random.default_rng(seed)
    classes, codes = np.unique(y, return_inverse=True)
    names, of = np.unique(plates, return_inverse=True)
    shape = (len(names), len(classes))
    total, right = np.zeros(shape), np.zeros(shape)
    np.add.at(total, (of, codes), 1)
    np.add.at(right, (of, codes), y == predicted)
    weights = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    right, total = weights @ right, weights @ total
    balanced = np.nanmean(np.where(total > 0, right / np.maximum(total, 1), np.nan), axis=1)
    return float((right.sum(1) / total.sum(1)).std()), float(balanced.std())


def cluster_agreement(x, y, k=None, starts=5, seeds=(0, 1, 2)):
    """Agreement of k-means with the phenotypes, on principal components of the standardised features.

    Parameters
    ----------
    x : (n, d) float array
    y : (n,) array
    k : int, optional
        Default: as many clusters as phenotypes.
    starts : int
        Of each k-means.
    seeds : sequence of int

    Returns
    -------
    (float, float)
        Adjusted Rand index and normalised mutual information, means over the seeds.
    """
    x = StandardScaler().fit_transform(x)
    x = PCA(min(COMPONENTS, *x.shape), random_state=0).fit_transform(x)
    k = k or len(np.unique(y))
    labels = [KMeans(k, n_init=starts, random_state=seed).fit_predict(x) for seed in seeds]
    return (
        float(np.mean([adjusted_rand_score(y, found) for found in labels])),
        float(np.mean([normalized_mutual_info_score(y, found) for found in labels])),
    )


def choose_and_confirm(features, y, plates, classifier, splits=10):
    """What choosing the best of many features is worth: choose on half of the plates, confirm on the other half.

    Parameters
    ----------
    features : dict of str to (n, d) float array
    y, plates : (n,) arrays
    classifier : scikit-learn classifier
    splits : int
        Random halves of the plates.

    Returns
    -------
    list of (str, dict of str to (float, float))
        For each split the name of the features with the largest sum of the two accuracies, cross-validated over the
        plates of the first half; and for all features the accuracies on the second half when fitted on the first.

    Raises
    ------
    ValueError
        If there are fewer than ten plates.
    """
    names = np.unique(plates)
    if len(names) < 10:
        raise ValueError(f"choosing on half of the plates needs 10 plates or more, there are {len(names)}")
    found = []
    for split in range(splits):
        first = np.isin(plates, np.random.default_rng(split).permutation(names)[: len(names) // 2])
        scores, confirmed = {}, {}
        for name, x in features.items():
            predicted = predict_across(x[first], y[first], plates[first], classifier, seed=split)
            scores[name] = sum(accuracies(y[first], predicted))
            # Phenotypes that no plate of the first half shows cannot be learned from it.
            known = ~first & np.isin(y, y[first])
            confirmed[name] = accuracies(y[known], classifier.fit(x[first], y[first]).predict(x[known]))
        found.append((max(scores, key=scores.get), confirmed))
    return found
