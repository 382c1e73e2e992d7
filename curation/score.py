"""MAIN PATH, read this first: from a labelled image data set to ranked, explained issues, one call per arrow.

source --load--> records --decode--> pixels --find_duplicates--> clusters --assign_folds--> folds
--out_of_fold--> pred_probs, embeddings, training margins --find_issues--> issues --write_run--> run folder
"""
