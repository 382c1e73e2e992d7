"""The review app: Streamlit pages that draw, and hand what is decided to the library."""
