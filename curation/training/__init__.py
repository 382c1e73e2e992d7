"""The networks, and their training in folds: pixels, labels and folds -> out-of-fold pred_probs, embeddings, margins.

`crossval` and `probe` are the way in; they need neither cleanlab nor Streamlit, so that they run on a bare GPU machine.
"""
