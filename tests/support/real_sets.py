"""The real data sets that tests read, and the folder of each."""

REAL_SETS = {
    "cifar100": "cifar100",
    "mnist": "MNIST",
    "usps": "usps",
    "corn_leaf": "corn_leaf",
    "digits_spoken": "digits_spoken",
    "heart": "heart",
    "zh_text": "zh_text",
    "bccd": "bccd",
    "mot": "mot",
}
