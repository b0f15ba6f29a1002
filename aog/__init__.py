"""And-Or graphs over the nodes of an explanatory graph: the data types; fitting follows."""

DISTRIBUTION = "explgraph"
