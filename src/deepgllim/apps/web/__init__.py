"""The web page that predicts head poses in uploaded pictures; it runs on this machine and stores nothing."""
